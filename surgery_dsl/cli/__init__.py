"""The command line: parse arguments, call, render. Nothing else.

``commands`` holds one file a command; its name is the command's name. ``output`` renders, ``options`` holds the
options that several commands share. Nothing here imports torch, lark or rich at module level.
"""
