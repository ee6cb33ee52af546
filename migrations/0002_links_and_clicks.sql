-- Links and the clicks on them: what a lead is attributed to.
-- fillfactor 50 and no index on a counter or on last_*: counter updates stay HOT (no index entry, no new page).
CREATE TABLE links (
    id               uuid PRIMARY KEY,
    workspace_id     uuid NOT NULL,
    domain           text COLLATE "C" NOT NULL,
    key              text COLLATE "C" NOT NULL,
    url              text NOT NULL,
    external_id      text COLLATE "C",
    tenant_id        text COLLATE "C",
    program_id       text,
    partner_id       text,
    track_conversion boolean NOT NULL DEFAULT false,
    archived         boolean NOT NULL DEFAULT false,
    expires_at       timestamptz,
    disabled_at      timestamptz,
    title            text,
    description      text,
    comments         text,
    utm_source       text,
    utm_medium       text,
    utm_campaign     text,
    utm_term         text,
    utm_content      text,
    clicks           bigint NOT NULL DEFAULT 0,
    leads            bigint NOT NULL DEFAULT 0,
    last_clicked     timestamptz,
    last_lead_at     timestamptz,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
-- Keys keep the spelling they were given; they are matched without regard to case.
CREATE UNIQUE INDEX links_domain_key_key ON links (domain, lower(key));
CREATE UNIQUE INDEX links_external_id_key ON links (workspace_id, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX links_workspace_idx ON links (workspace_id, id);

-- One row per counted click. Ids are time-ordered, so this index grows at its right edge only.
CREATE TABLE clicks (
    id           text COLLATE "C" PRIMARY KEY,
    link_id      uuid NOT NULL,
    workspace_id uuid NOT NULL,
    clicked_at   timestamptz NOT NULL,
    url          text NOT NULL,
    country      text,
    ip           text NOT NULL,
    user_agent   text NOT NULL,
    referrer     text,
    trigger      text COLLATE "C" NOT NULL
);

-- Which click a visitor's repeated visits stand for, for one hour, across all API processes.
-- visitor is SHA-256 of domain, key, address and user agent.
CREATE TABLE click_reuse (
    visitor    bytea PRIMARY KEY,
    click_id   text COLLATE "C" NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX click_reuse_expires_idx ON click_reuse (expires_at);
