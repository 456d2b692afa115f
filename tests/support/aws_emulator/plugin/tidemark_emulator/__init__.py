"""What the tests add to LocalStack in host mode. Found by the entry points beside it, once its folder is on PYTHONPATH.

`functions` runs Lambda functions as plain processes, `calls` writes down who called what, `stacks` updates what LocalStack's CloudFormation leaves as it was.
"""
