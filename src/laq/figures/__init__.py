"""The study's figures, one idea a module; ``style`` is the look they share."""
