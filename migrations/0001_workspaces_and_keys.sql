-- Tenants, the domains they own and the keys that open them: everything else hangs on a workspace.
CREATE TABLE workspaces (
    id                 uuid PRIMARY KEY,
    slug               text COLLATE "C" NOT NULL,
    name               text NOT NULL,
    conversion_enabled boolean NOT NULL DEFAULT false,
    allowed_hostnames  text[] NOT NULL DEFAULT '{}',
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT workspaces_slug_key UNIQUE (slug)
);

CREATE TABLE domains (
    name         text COLLATE "C" PRIMARY KEY,
    workspace_id uuid NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX domains_workspace_idx ON domains (workspace_id);

-- The key itself is never stored: 32 bytes of SHA-256, and a hint such as ll_...abcd to know it by.
CREATE TABLE api_keys (
    id           uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    kind         text COLLATE "C" NOT NULL CHECK (kind IN ('secret', 'publishable')),
    hash         bytea NOT NULL,
    hint         text NOT NULL,
    name         text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    revoked_at   timestamptz,
    CONSTRAINT api_keys_hash_key UNIQUE (hash)
);
CREATE INDEX api_keys_workspace_idx ON api_keys (workspace_id);
