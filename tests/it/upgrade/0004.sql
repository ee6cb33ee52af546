-- A follow-up that waits for its customer, and one whose time is up; a grave of each kind; what was counted and probed.
INSERT INTO parked_leads (workspace_id, id, customer_external_id, message, reply_to, parked_at, expires_at) VALUES
    ('01900000-0000-7000-8000-0000000000a1', '01900000-0000-7000-8000-0000000005a1', 'eve', convert_to('{"v":1,'
        '"id":"01900000-0000-7000-8000-0000000005a1","workspace_id":"01900000-0000-7000-8000-0000000000a1",'
        '"accepted_at":1717322400000,"mode":"async","customer_external_id":"eve","event_name":"Sign Up","quantity":2}', 'UTF8'),
        NULL, '2024-06-02 10:00Z', now() + interval '1 hour'),
    ('01900000-0000-7000-8000-0000000000a1', '01900000-0000-7000-8000-0000000005a2', 'gus', convert_to('{"v":1,'
        '"id":"01900000-0000-7000-8000-0000000005a2","workspace_id":"01900000-0000-7000-8000-0000000000a1",'
        '"accepted_at":1717322400000,"mode":"wait","customer_external_id":"gus","event_name":"Sign Up","quantity":1,'
        '"awaited":true}', 'UTF8'),
        'amq.gen-of-an-api-that-is-gone', '2024-06-02 10:00Z', '2024-06-02 10:00:02Z');

INSERT INTO customers (workspace_id, external_id, id, name, click_id, link_id, clicked_at, created_at) VALUES
    ('01900000-0000-7000-8000-0000000000a1', 'gil', '01900000-0000-7000-8000-0000000003a6', 'Gil', 'ClickBare0000001',
        '01900000-0000-7000-8000-0000000002a2', '2024-06-02 10:02Z', '2024-06-03 10:00Z');
INSERT INTO leads (workspace_id, id, customer_external_id, event_key, event_name, mode, ending, quantity, follow_up,
        click_id, link_id, clicked_at, accepted_at, recorded_at) VALUES
    ('01900000-0000-7000-8000-0000000000a1', '01900000-0000-7000-8000-0000000005a3', 'gil', 'sign-up', 'Sign Up', 'async',
        'recorded', 7, false, 'ClickBare0000001', '01900000-0000-7000-8000-0000000002a2', '2024-06-02 10:02Z',
        '2024-06-02 10:16Z', '2024-06-03 10:00Z');
UPDATE links SET leads = 7, last_lead_at = '2024-06-03 10:00Z' WHERE id = '01900000-0000-7000-8000-0000000002a2';

-- Undecodable; refused and waiting; replayed, as the lead above.
INSERT INTO buried_leads (id, identity, workspace_id, lead_id, reason, message, buried_at, replayed_as, replayed_at) VALUES
    ('01900000-0000-7000-8000-0000000006a1', encode(sha256('\x00ff'), 'hex'), NULL, NULL, 'undecodable: not a lead message',
        '\x00ff', '2024-06-02 10:20Z', NULL, NULL),
    ('01900000-0000-7000-8000-0000000006a2', '01900000-0000-7000-8000-0000000005a4', '01900000-0000-7000-8000-0000000000a1',
        '01900000-0000-7000-8000-0000000005a4', 'PostgreSQL refuses the row (23514)', convert_to('{"v":1,'
        '"id":"01900000-0000-7000-8000-0000000005a4","workspace_id":"01900000-0000-7000-8000-0000000000a1",'
        '"accepted_at":1717323600000,"mode":"async","customer_external_id":"fox","event_name":"Sign Up","quantity":1,'
        '"click_id":"ClickSummer00001"}', 'UTF8'), '2024-06-02 10:20Z', NULL, NULL),
    ('01900000-0000-7000-8000-0000000006a3', '01900000-0000-7000-8000-0000000005a5', '01900000-0000-7000-8000-0000000000a1',
        '01900000-0000-7000-8000-0000000005a5', 'PostgreSQL refuses the row (23514)', convert_to('{"v":1,'
        '"id":"01900000-0000-7000-8000-0000000005a5","workspace_id":"01900000-0000-7000-8000-0000000000a1",'
        '"accepted_at":1717323600000,"mode":"async","customer_external_id":"gil","event_name":"Sign Up","quantity":7,'
        '"click_id":"ClickBare0000001"}', 'UTF8'), '2024-06-02 10:21Z', '01900000-0000-7000-8000-0000000005a3',
        '2024-06-03 09:59Z');

INSERT INTO attempts (identity, attempts, changed_at) VALUES ('01900000-0000-7000-8000-0000000005a9', 2, '2024-06-02 10:22Z');
INSERT INTO probes (name, probed_at) VALUES ('worker', '2024-06-02 10:23Z');
