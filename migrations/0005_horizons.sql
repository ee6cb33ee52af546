-- How far each worker process has come: what the broker sent it before `horizon` is settled. Follow-ups are refused by it.
CREATE TABLE horizons (
    worker       uuid PRIMARY KEY,
    horizon      timestamptz NOT NULL,
    -- Beyond this moment the process is taken for dead, and what it held for handed to others.
    counts_until timestamptz NOT NULL
) WITH (fillfactor = 50);

-- A report proves what a probe did: that writes are taken.
DROP TABLE probes;
