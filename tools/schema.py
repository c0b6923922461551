"""Prints the GraphQL contract."""

import sys

from schema import root

sys.stdout.write(root.build(introspection=True).as_str() + "\n")
