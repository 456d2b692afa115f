"""Reads a CloudFormation template on stdin and prints it as JSON; `!Ref State` becomes {"Ref": "State"}."""

import json
import sys

import yaml


class Loader(yaml.SafeLoader):
    pass


def tagged(loader, name, node):
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    return {name: loader.construct_scalar(node)}


Loader.add_multi_constructor("!", tagged)
json.dump(yaml.load(sys.stdin.buffer.read(), Loader), sys.stdout)
