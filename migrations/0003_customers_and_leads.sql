-- Customers remember the click that brought them; leads hold one row per accepted request, with its ending.
CREATE TABLE customers (
    workspace_id uuid NOT NULL,
    external_id  text COLLATE "C" NOT NULL,
    id           uuid NOT NULL,
    name         text,
    email        text,
    avatar       text,
    click_id     text COLLATE "C",
    link_id      uuid,
    clicked_at   timestamptz,
    country      text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, external_id)
);
-- For lists and look-ups by id, which state the (always true) predicate. The statements of the hot path do not, so
-- that no plan made while the table was empty can mistake this index for the primary key.
CREATE UNIQUE INDEX customers_id_key ON customers (workspace_id, id) WHERE created_at > '-infinity';

CREATE TABLE leads (
    workspace_id         uuid NOT NULL,
    id                   uuid NOT NULL,
    customer_external_id text COLLATE "C" NOT NULL,
    event_key            text COLLATE "C" NOT NULL,
    event_name           text NOT NULL,
    mode                 text COLLATE "C" NOT NULL CHECK (mode IN ('async', 'wait', 'deferred')),
    ending               text COLLATE "C" NOT NULL CHECK (ending IN ('recorded', 'deferred', 'duplicate', 'rejected')),
    reason               text COLLATE "C",
    quantity             integer NOT NULL CHECK (quantity BETWEEN 1 AND 100),
    follow_up            boolean NOT NULL,
    click_id             text COLLATE "C",
    link_id              uuid,
    clicked_at           timestamptz,
    country              text,
    metadata             text,
    accepted_at          timestamptz NOT NULL,
    recorded_at          timestamptz NOT NULL DEFAULT now(),
    -- The id leads, so that the index grows at its right edge whichever workspace is busy.
    PRIMARY KEY (id, workspace_id),
    CHECK ((ending = 'rejected') = (reason IS NOT NULL))
);
-- The promise in one line: at most one recorded lead per workspace, customer and normalised event, for ever.
CREATE UNIQUE INDEX leads_recorded_key ON leads (workspace_id, customer_external_id, event_key) WHERE ending = 'recorded';
