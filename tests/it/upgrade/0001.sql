-- Two tenants with their domains, and keys of each kind; one is revoked. The tests know the texts of the keys.
INSERT INTO workspaces (id, slug, name, conversion_enabled, allowed_hostnames, created_at, updated_at) VALUES
    ('01900000-0000-7000-8000-0000000000a1', 'acme', 'Acme Inc', true, '{www.acme.test,shop.acme.test}',
        '2024-06-01 08:00:00.123456Z', '2024-06-02 09:30:00Z'),
    ('01900000-0000-7000-8000-0000000000b1', 'other', 'Ötherwise', false, '{}', '2024-06-01 08:05Z', '2024-06-01 08:05Z');

INSERT INTO domains (name, workspace_id, created_at) VALUES
    ('go.acme.test', '01900000-0000-7000-8000-0000000000a1', '2024-06-01 08:01Z'),
    ('refer.acme.test', '01900000-0000-7000-8000-0000000000a1', '2024-06-01 08:02Z'),
    ('go.other.test', '01900000-0000-7000-8000-0000000000b1', '2024-06-01 08:06Z');

INSERT INTO api_keys (id, workspace_id, kind, hash, hint, name, created_at, revoked_at) VALUES
    ('01900000-0000-7000-8000-0000000001a1', '01900000-0000-7000-8000-0000000000a1', 'secret',
        sha256('ll_UpgradeUpgradeUpgrade001'), 'll_...e001', 'backend', '2024-06-01 08:03Z', NULL),
    ('01900000-0000-7000-8000-0000000001a2', '01900000-0000-7000-8000-0000000000a1', 'publishable',
        sha256('ll_pk_UpgradeUpgradeUpgrade002'), 'll_...e002', 'page', '2024-06-01 08:03Z', NULL),
    ('01900000-0000-7000-8000-0000000001a3', '01900000-0000-7000-8000-0000000000a1', 'secret',
        sha256('ll_UpgradeUpgradeUpgrade003'), 'll_...e003', 'leaked', '2024-06-01 08:04Z', '2024-06-03 23:00Z'),
    ('01900000-0000-7000-8000-0000000001b1', '01900000-0000-7000-8000-0000000000b1', 'secret',
        sha256('ll_UpgradeUpgradeUpgrade004'), 'll_...e004', 'backend', '2024-06-01 08:07Z', NULL);
