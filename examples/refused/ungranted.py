"""A module for which no grant is given: refusing the plan that names it must not import it."""

raise SystemExit("ungranted code was imported")
