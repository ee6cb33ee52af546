-- What the statement of the short way records: somebody new, and somebody who was there without a click.
INSERT INTO customers (workspace_id, external_id, id, name) VALUES
    ('01900000-0000-7000-8000-0000000000a1', 'lea', '01900000-0000-7000-8000-0000000003a8', 'Lea');
SELECT record_new_v2(
    customer_workspaces => '{01900000-0000-7000-8000-0000000000a1,01900000-0000-7000-8000-0000000000a1}',
    customer_names => '{jon,lea}',
    customer_ids => '{01900000-0000-7000-8000-0000000003a9,01900000-0000-7000-8000-0000000003aa}',
    display_names => '{Jon,Not Lea}', emails => '{jon@acme.test,NULL}', avatars => '{NULL,NULL}',
    first_clicks => '{ClickBare0000001,ClickSummer00001}',
    first_links => '{01900000-0000-7000-8000-0000000002a2,01900000-0000-7000-8000-0000000002a1}',
    first_times => '{2024-06-02 10:02Z,2024-06-02 10:00Z}', first_countries => '{FR,DE}',
    workspaces => '{01900000-0000-7000-8000-0000000000a1,01900000-0000-7000-8000-0000000000a1}',
    ids => '{01900000-0000-7000-8000-0000000009a1,01900000-0000-7000-8000-0000000009a2}',
    external_ids => '{jon,lea}', event_keys => '{sign-up,sign-up}', event_names => '{Sign Up,Sign Up}',
    modes => '{wait,async}', endings => '{recorded,recorded}', quantities => '{1,2}',
    clicks => '{ClickBare0000001,ClickSummer00001}',
    clicked_links => '{01900000-0000-7000-8000-0000000002a2,01900000-0000-7000-8000-0000000002a1}',
    times => '{2024-06-02 10:02Z,2024-06-02 10:00Z}', countries => '{FR,DE}', metadatas => '{NULL,NULL}',
    accepted => '{2024-06-06 10:00Z,2024-06-06 10:01Z}',
    counted_links => '{01900000-0000-7000-8000-0000000002a1,01900000-0000-7000-8000-0000000002a2}', counts => '{2,1}');
