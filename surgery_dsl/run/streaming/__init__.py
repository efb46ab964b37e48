"""Out of core: a structural plan on weights that need not fit into memory.

``eligible`` says whether a plan can be followed without the network's values in memory, and when that is done;
``skeleton`` builds a network whose parameters have no memory; ``origins`` follows where each tensor's bytes come from
through every edit; ``layout`` divides the result into files; ``cut`` reads the bytes that stay; ``journal`` remembers
what is finished; ``shards`` writes; ``figures`` counts without a forward; ``execute`` leads.
"""
