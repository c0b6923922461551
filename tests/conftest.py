"""What every test may use."""

pytest_plugins = ["tests.engines", "tests.faults.figures"]
