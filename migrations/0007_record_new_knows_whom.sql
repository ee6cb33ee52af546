-- record_new_v1, which also says which of the customers were there already: whoever waits for a lead that brought somebody new
-- is shown what it said of him, and nothing has to be looked up for that. Places count from 1, in the order of the arguments.
CREATE FUNCTION record_new_v2(
    customer_workspaces uuid[], customer_names text[], customer_ids uuid[], display_names text[], emails text[], avatars text[],
    first_clicks text[], first_links uuid[], first_times timestamptz[], first_countries text[],
    workspaces uuid[], ids uuid[], external_ids text[], event_keys text[], event_names text[], modes text[], endings text[],
    quantities integer[], clicks text[], clicked_links uuid[], times timestamptz[], countries text[], metadatas text[],
    accepted timestamptz[], counted_links uuid[], counts bigint[],
    OUT waiting boolean, OUT known bigint[]
) LANGUAGE plpgsql AS $$
DECLARE
    arrived bigint;
    clickless bigint[];
    place bigint;
BEGIN
    known := '{}';
    INSERT INTO customers (workspace_id, external_id, id, name, email, avatar, click_id, link_id, clicked_at, country)
        SELECT * FROM unnest(customer_workspaces, customer_names, customer_ids, display_names, emails, avatars, first_clicks,
            first_links, first_times, first_countries)
        ON CONFLICT (workspace_id, external_id) DO NOTHING;
    GET DIAGNOSTICS arrived = ROW_COUNT;
    IF arrived < cardinality(customer_ids) THEN
        -- Who is deleted just now was there, too.
        SELECT array_agg(u.n), array_agg(u.n ORDER BY u.n) FILTER (WHERE c.id IS NOT NULL AND c.click_id IS NULL)
        INTO known, clickless
        FROM unnest(customer_workspaces, customer_names, customer_ids) WITH ORDINALITY AS u (workspace_id, external_id, id, n)
        LEFT JOIN LATERAL (SELECT o.id, o.click_id FROM customers o WHERE o.workspace_id = u.workspace_id
            AND o.external_id = u.external_id OFFSET 0) AS c ON true
        WHERE c.id IS DISTINCT FROM u.id;
        -- Who was stored without a click takes this one; rare, so one by one, in key order.
        FOREACH place IN ARRAY coalesce(clickless, '{}') LOOP
            UPDATE customers c SET click_id = first_clicks[place], link_id = first_links[place],
                clicked_at = first_times[place], country = coalesce(c.country, first_countries[place])
            WHERE c.workspace_id = customer_workspaces[place] AND c.external_id = customer_names[place]
                AND c.click_id IS NULL;
        END LOOP;
    END IF;
    INSERT INTO leads (workspace_id, id, customer_external_id, event_key, event_name, mode, ending, quantity, follow_up,
            click_id, link_id, clicked_at, country, metadata, accepted_at)
        SELECT u.workspace_id, u.id, u.external_id, u.event_key, u.event_name, u.mode, u.ending, u.quantity, false,
            u.click_id, u.link_id, u.clicked_at, u.country, u.metadata, u.accepted_at
        FROM unnest(workspaces, ids, external_ids, event_keys, event_names, modes, endings, quantities, clicks, clicked_links,
            times, countries, metadatas, accepted) AS u (workspace_id, id, external_id, event_key, event_name, mode, ending,
            quantity, click_id, link_id, clicked_at, country, metadata, accepted_at);
    IF cardinality(counted_links) > 0 THEN
        UPDATE links l SET leads = l.leads + counts[array_position(counted_links, l.id)], last_lead_at = now()
        WHERE l.id = ANY (counted_links);
    END IF;
    waiting := EXISTS (
        SELECT FROM unnest(customer_workspaces, customer_names) AS u (workspace_id, external_id),
            LATERAL (SELECT FROM parked_leads p WHERE p.workspace_id = u.workspace_id
                AND p.customer_external_id = u.external_id LIMIT 1) AS parked);
END
$$;
