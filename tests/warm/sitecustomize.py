"""Read by Python itself as it starts, in the processes of a warm `study_lab.Lab`.

Their workers are forked from the server that the tests name, which has imported torch already, instead of from one of
their own, and so are other processes of ours that import torch (`programs`); they wait for no disk. All else is as it
is without this file.
"""

import os
import sys

if _named := os.environ.get("SECATEUR_TESTS_FORKSERVER"):
    from tests.warm import server, unsynced  # noqa: F401

    server.use(_named)
    if "from engine.compute.worker.fingerprint import main; main()" in sys.orig_argv:
        from tests.warm.programs import look_there

        look_there(sys.orig_argv[-4:])
    if "engine.compute.worker.knob.process" in sys.orig_argv:
        from tests.warm.programs import knob_there

        knob_there(sys.orig_argv[-4:])
    if "engine.compute.worker.selfcheck" in sys.orig_argv:
        from tests.warm.programs import check_there

        check_there(sys.orig_argv[-1:])
    if sys.orig_argv[1:4] == ["-m", "engine.cli.main", "export"]:
        from tests.warm.programs import export_there

        export_there(sys.orig_argv[3:])
