"""blobdrop: customers drop files; good rows go into Delta tables, the others into a quarantine that people can act on.

The way a file takes is the way to read this package:

    sources/    where drops land: listed, fetched, settled; containers are reached through `cloud/`
    intake      what a listing brings: new, complete, wanted by one of the `feeds`
    ingest      a batch from claim to settle: the only place where the stages meet
    lineup      which drops make a unit, and which is worked next: what is suspected of breaking its worker comes last
    workers/    worker processes that can be killed, forked from a warm parent (`warming`)
    prepare     one unit of drops from bytes to outcomes (in a worker); readers and checks are `validators`
    landing     where judged rows land: `staging/` for the good, `quarantine/` for the rest, with `reports/`
    vetting     what of the outcomes still holds when they are committed
    stores/     the tables: one transaction for each batch; their files are in `places/`, quarantine is in `cabinets/`
    ledger/     what has happened to every drop

What breaks off is taken up again: where a worker was lost by `setbacks`, where the daemon was killed by `recovery`. A
feed whose own table cannot be used waits (`ailing`).

What was set aside comes back by a decision, which a command leaves in the ledger: `deciding` takes it up, `reviewing`
judges the kept rows again (in a worker), and they go the same way on.

A `_READY` marker (`markers`), or a signal that lists days (`signals/`), says that all before an instant is there:
`ready` waits until that is final, and moves the watermark; `days/` then closes the business days that are over, and has
their figures computed, with the metrics that the settings define (`measures/`; in a worker).

Around it: `config` reads the `settings/`, `wiring` makes folders or containers of them, `app` joins all, `loop` goes
round, `cli/` is the command line, and `commands/` is what it does; `retention` lets go what was kept long enough,
`salvage/` puts a lost ledger together. `watching/` answers those who watch, `notifying/` tells people, `receipts` tell
customers. Values travel frozen (`model`); only sources, stores, ledger and quarantine change the world.

What always holds: each row ends in exactly one place, each drop's rows once, whatever is killed when; the source is
touched last; one bad drop stops nothing else; nothing is ignored quietly.

Imports run one way; `tests/unit/test_layers.py` has the order, and holds it.
"""

__version__ = "0.1.0"
