"""blobdrop: customers drop files; good rows go into Delta tables, the others into a quarantine that people can act on.

The way a file takes is the way to read this package:

    sources/    where drops land: listed, fetched, settled
    intake      what a listing brings: new, complete, wanted by a feed
    ingest      a batch from claim to settle: the only place where the stages meet
    lineup      which unit is worked next: what is suspected of breaking its worker comes last
    workers     worker processes that can be killed (`pool`, `killable`), forked from a warm parent
    prepare     one unit of drops from bytes to outcomes (in a worker); readers and checks are `validators`
    landing     where judged rows land: staging for the good, quarantine for the rest
    vetting     what of the outcomes still holds when they are committed
    stores/     the tables: one transaction for each batch; their files are in `places/`, reports in `cabinets/`
    ledger/     what has happened to every drop

What was set aside comes back by a decision, which a command leaves in the ledger: `deciding` takes it up, `reviewing`
judges the kept rows again (in a worker), and they go the same way on.

A `_READY` marker, or a signal that lists days (`signals`), says that all before an instant is there: `ready` waits
until that is final, and moves the watermark; `days` then closes the business days that are over, and has `figures`
computed of them (in a worker).

Around it: `config` reads the settings, `wiring` alone names concrete classes, `app` joins all, `loop` goes round,
`cli` is the command line; `retention` lets go what was kept long enough, `salvage` puts a lost ledger together.
`endpoint` answers those who watch, `notifying` tells people, `receipts` tell customers. Values travel frozen
(`model`); only sources, stores, ledger and quarantine change the world.

What always holds: each row ends in exactly one place, each drop's rows once, whatever is killed when; the source is
touched last; one bad drop stops nothing else; nothing is ignored quietly.

Imports run one way, in the order above read backwards; `tests/unit/test_layers.py` holds it.
"""

__version__ = "0.1.0"
