"""The certificate for people: ``report.md`` and ``report.html``, made from a result alone.

``result`` reads a result directory (certificate, plan, lock, evidence files) and says what is wrong with it;
``contents/`` turns it into a ``document``: sections, tables and plots as data, one module a section; ``markdown`` and
``html`` (with ``svg`` and ``style``) write a document; ``files`` puts both beside the certificate. No torch and no code
of the user: who has the result has the report, byte for byte as ``apply`` wrote it.

A report is derived: nothing in it is evidence. Its files are subjects of the statement all the same, as every file of a
result is; and ``same`` makes them again where a result is verified, so that one which says something else is found.
"""
