-- Links of every kind: one with everything set, one bare, one archived and disabled, one of the other tenant; their clicks.
INSERT INTO links (id, workspace_id, domain, key, url, external_id, tenant_id, program_id, partner_id, track_conversion, archived,
        expires_at, disabled_at, title, description, comments, utm_source, utm_medium, utm_campaign, utm_term, utm_content,
        clicks, leads, last_clicked, last_lead_at, created_at, updated_at) VALUES
    ('01900000-0000-7000-8000-0000000002a1', '01900000-0000-7000-8000-0000000000a1', 'go.acme.test', 'Summer',
        'https://acme.test/summer?a=1', 'ext-1', 'tenant-1', 'program-1', 'partner-1', true, false, '2124-01-01Z', NULL,
        'Summer', 'All of it', 'ours', 'news', 'mail', 'summer', 'sun', 'top', 2, 0, '2024-06-02 10:01Z', NULL,
        '2024-06-01 09:00Z', '2024-06-02 10:01Z'),
    ('01900000-0000-7000-8000-0000000002a2', '01900000-0000-7000-8000-0000000000a1', 'go.acme.test', 'bare',
        'https://acme.test/', NULL, NULL, NULL, NULL, false, false, NULL, NULL,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1, 0, '2024-06-02 10:02Z', NULL,
        '2024-06-01 09:01Z', '2024-06-01 09:01Z'),
    ('01900000-0000-7000-8000-0000000002a3', '01900000-0000-7000-8000-0000000000a1', 'refer.acme.test', 'old',
        'https://acme.test/old', NULL, NULL, NULL, NULL, true, true, NULL, '2024-06-02 12:00Z',
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, NULL, '2024-06-01 09:02Z', '2024-06-02 12:00Z'),
    ('01900000-0000-7000-8000-0000000002b1', '01900000-0000-7000-8000-0000000000b1', 'go.other.test', 'x',
        'https://other.test/', NULL, NULL, NULL, NULL, false, false, NULL, NULL,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1, 0, '2024-06-02 10:03Z', '2024-06-01 09:03Z',
        '2024-06-01 09:03Z', '2024-06-01 09:03Z');

INSERT INTO clicks (id, link_id, workspace_id, clicked_at, url, country, ip, user_agent, referrer, trigger) VALUES
    ('ClickSummer00001', '01900000-0000-7000-8000-0000000002a1', '01900000-0000-7000-8000-0000000000a1', '2024-06-02 10:00Z',
        'https://acme.test/summer?a=1', 'DE', '203.0.113.7', 'Mozilla/5.0 (X11)', 'https://news.test/', 'link'),
    ('ClickSummer00002', '01900000-0000-7000-8000-0000000002a1', '01900000-0000-7000-8000-0000000000a1', '2024-06-02 10:01Z',
        'https://acme.test/summer?a=1', NULL, '2001:db8::1', 'Mozilla/5.0 (X11)', NULL, 'link'),
    ('ClickBare0000001', '01900000-0000-7000-8000-0000000002a2', '01900000-0000-7000-8000-0000000000a1', '2024-06-02 10:02Z',
        'https://acme.test/', 'FR', '203.0.113.8', 'Mozilla/5.0 (Mac)', NULL, 'link'),
    ('ClickOther000001', '01900000-0000-7000-8000-0000000002b1', '01900000-0000-7000-8000-0000000000b1', '2024-06-02 10:03Z',
        'https://other.test/', NULL, '203.0.113.9', 'Mozilla/5.0 (Mac)', NULL, 'link');

INSERT INTO click_reuse (visitor, click_id, expires_at) VALUES
    (sha256('somebody'), 'ClickSummer00001', '2024-06-02 11:00Z');
