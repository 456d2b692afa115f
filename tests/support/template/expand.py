"""Prints a template as a JSON list of two documents: as written, and as expanded by SAM."""

import copy
import json
import sys

from samcli.lib.translate.sam_template_validator import SamTemplateValidator
from samcli.yamlhelper import yaml_parse


class NoPolicies:
    """Managed policies of AWS cannot be looked up offline, so naming one is an error."""

    def load(self):
        raise SystemExit("a managed policy of AWS is named")


with open(sys.argv[1]) as file:
    template = yaml_parse(file.read())
validator = SamTemplateValidator(copy.deepcopy(template), NoPolicies(), region="eu-west-1")
json.dump([template, yaml_parse(validator.get_translated_template_if_valid())], sys.stdout)
