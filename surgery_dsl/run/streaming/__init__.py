"""Out of core: a structural plan on weights that need not fit into memory.

``eligible`` says whether a plan can be followed without the network's values in memory, and when that is done;
``skeleton`` builds a network whose parameters have no memory; ``origins`` follows where each tensor's bytes come from
through every edit; ``layout`` divides the result into files; ``cut`` reads the bytes that stay; ``output`` takes
them past the page cache to the disk; ``journal`` remembers what is finished; ``shards`` does all of that side by side;
``figures`` counts without a forward; ``execute`` leads.
"""
