-- Where a request waits when it cannot be recorded yet (parked), and where it rests when it never can (buried).
CREATE TABLE parked_leads (
    workspace_id         uuid NOT NULL,
    id                   uuid NOT NULL,
    customer_external_id text COLLATE "C" NOT NULL,
    message              bytea NOT NULL,
    reply_to             text,
    parked_at            timestamptz NOT NULL DEFAULT now(),
    expires_at           timestamptz NOT NULL,
    PRIMARY KEY (id, workspace_id)
);
CREATE INDEX parked_leads_customer_idx ON parked_leads (workspace_id, customer_external_id);
CREATE INDEX parked_leads_expires_idx ON parked_leads (expires_at);

-- Bytes and reason of what no row can hold. identity is the message id, or the SHA-256 of the bytes where there is none.
CREATE TABLE buried_leads (
    id            uuid PRIMARY KEY,
    identity      text COLLATE "C" NOT NULL,
    workspace_id  uuid,
    lead_id       uuid,
    reason        text NOT NULL,
    message       bytea NOT NULL,
    buried_at     timestamptz NOT NULL DEFAULT now(),
    replayed_as   uuid,
    replayed_at   timestamptz,
    CONSTRAINT buried_leads_identity_key UNIQUE (identity)
);
CREATE INDEX buried_leads_lead_idx ON buried_leads (lead_id) WHERE lead_id IS NOT NULL;

-- How often a message that keeps coming back was begun: at three it is buried undecoded.
CREATE TABLE attempts (
    identity   text COLLATE "C" PRIMARY KEY,
    attempts   integer NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);

-- A lane that had to hold writes here before it consumes again: a read-only standby answers reads, not this.
CREATE TABLE probes (
    name       text COLLATE "C" PRIMARY KEY,
    probed_at  timestamptz NOT NULL DEFAULT now()
);
