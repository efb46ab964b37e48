"""What a run claims, on what evidence, and how a stranger checks it again. No torch.

``model`` is the certificate as data (its JSON Schema is ``specs/certificate.schema.json``), ``build`` puts the
digests of the written files around it, ``verify`` checks a result directory, ``digest`` hashes files.
"""
