import os
import subprocess
import sys

from detection.engines.processor import processor_kind


def test_the_same_in_every_process_of_a_machine_and_another_where_torch_takes_other_instructions():
    code = "from detection.engines.processor import processor_kind; print(processor_kind())"

    def of_a_process(**environment):
        return subprocess.check_output(
            [sys.executable, "-c", code], text=True, env={**os.environ, **environment}
        ).strip()

    assert of_a_process() == processor_kind()
    assert of_a_process(ATEN_CPU_CAPABILITY="default") != processor_kind()
