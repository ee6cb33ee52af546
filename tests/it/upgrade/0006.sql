-- What the statement of the short way records: somebody new, and a lead of quantity 4.
SELECT record_new_v1(
    customer_workspaces => '{01900000-0000-7000-8000-0000000000a1}', customer_names => '{ivy}',
    customer_ids => '{01900000-0000-7000-8000-0000000003a7}', display_names => '{Ivy}', emails => '{ivy@acme.test}',
    avatars => '{NULL}', first_clicks => '{ClickBare0000001}', first_links => '{01900000-0000-7000-8000-0000000002a2}',
    first_times => '{2024-06-02 10:02Z}', first_countries => '{FR}',
    workspaces => '{01900000-0000-7000-8000-0000000000a1}', ids => '{01900000-0000-7000-8000-0000000008a1}',
    external_ids => '{ivy}', event_keys => '{sign-up}', event_names => '{Sign Up}', modes => '{async}',
    endings => '{recorded}', quantities => '{4}', clicks => '{ClickBare0000001}',
    clicked_links => '{01900000-0000-7000-8000-0000000002a2}', times => '{2024-06-02 10:02Z}', countries => '{FR}',
    metadatas => '{NULL}', accepted => '{2024-06-05 10:00Z}', counted_links => '{01900000-0000-7000-8000-0000000002a2}',
    counts => '{4}');
