"""The stages that the evaluators share. docs/design.md has the table of rooms."""
