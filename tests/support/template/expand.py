"""A template as JSON, first as it stands, then as CloudFormation gets it once SAM has expanded it: as two documents in a list."""

import copy
import json
import sys

from samcli.lib.translate.sam_template_validator import SamTemplateValidator
from samcli.yamlhelper import yaml_parse


class NoPolicies:
    """Names of AWS's managed policies are not looked up; a template that uses one is wrong here."""

    def load(self):
        raise SystemExit("a managed policy of AWS is named")


with open(sys.argv[1]) as file:
    template = yaml_parse(file.read())
validator = SamTemplateValidator(copy.deepcopy(template), NoPolicies(), region="eu-west-1")
json.dump([template, yaml_parse(validator.get_translated_template_if_valid())], sys.stdout)
