"""Codes SD8xx: what another program cannot load, and what another format cannot hold."""

from surgery_dsl.diagnostics.code import Code

NOT_A_HOSTS_NETWORK = Code("SD801", "not-a-hosts-network", "the network is none of those that the target can load")
HOST_CANNOT_EXPRESS = Code("SD802", "host-cannot-express", "the target's config cannot say the shape of the result")
HOST_LOADS_OTHERWISE = Code("SD803", "host-loads-otherwise", "the target loads the result, but not as it was written")
PACKAGE_MISSING = Code("SD810", "package-missing", "what was asked for needs a package that is not installed")
NOT_EXPORTED = Code("SD811", "not-exported", "a network cannot be exported to this format")
EXPORT_DIFFERS = Code("SD812", "export-differs", "an exported program does not compute what the network computes")
EXPORT_PLACE = Code("SD813", "export-place", "an exported program cannot be written at this place")
NO_INPUTS = Code("SD814", "no-inputs", "a result does not say what inputs its network takes")
