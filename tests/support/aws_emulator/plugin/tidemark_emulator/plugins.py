"""By what LocalStack finds the rest."""

import functools
import os
import signal
import sys
import threading

from localstack.runtime import hooks
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin


class ProcessExecutorPlugin(RuntimeExecutorPlugin):
    name = "process"

    def load(self, *args, **kwargs):
        from .functions import ProcessExecutor

        return ProcessExecutor


@hooks.on_infra_start(name="tidemark_emulator")
def start():
    from localstack.services.edge import ROUTER
    from rolo import Response
    from twisted.internet import endpoints

    from . import calls, stacks

    # as wide as GATEWAY_LISTEN says, which LocalStack's server does not look at
    endpoints.TCP4ServerEndpoint = functools.partial(endpoints.TCP4ServerEndpoint, interface="127.0.0.1")
    # whoever asks learns which emulator it is that has this port
    folder = os.environ["TIDEMARK_EMULATOR"]
    ROUTER.add("/_tidemark", lambda request: Response(folder))
    calls.record_into(os.path.join(folder, "calls.jsonl"))
    stacks.mend()
    threading.Thread(target=end_with_the_test, daemon=True).start()


def end_with_the_test():
    """Whatever ends the test closes this pipe; its functions, which are of this process's group, end too."""
    while sys.stdin.buffer.read(1):
        pass
    os.killpg(os.getpgid(0), signal.SIGKILL)
