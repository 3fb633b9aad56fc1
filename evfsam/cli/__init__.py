"""The command line: a verb's file has ``add_parser(subparsers)``, which sets ``func``, and ``run(args)``.

Heavy imports stand inside ``run``, so that ``--help`` is quick.
"""
