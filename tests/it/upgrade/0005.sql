-- The horizon of a worker that is long gone.
-- gone: probes
INSERT INTO horizons (worker, horizon, counts_until) VALUES
    ('01900000-0000-7000-8000-0000000007a1', '2024-06-04 10:00Z', '2024-06-04 10:00:35Z');
