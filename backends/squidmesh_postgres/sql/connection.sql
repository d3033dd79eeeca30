-- name: settings
-- Every statement of ours has its index, whatever the statistics say today: on a table that was filled a moment ago,
-- and never analysed, the planner would guess, and keep the guess.
SELECT
    set_config('application_name', 'squidmesh', false),
    set_config('timezone', 'UTC', false),
    set_config('lock_timeout', %(lock_timeout)s, false),
    set_config('statement_timeout', %(statement_timeout)s, false),
    set_config('idle_in_transaction_session_timeout', %(idle_timeout)s, false),
    set_config('default_transaction_isolation', 'read committed', false),
    set_config('default_transaction_read_only', 'off', false),
    set_config('plan_cache_mode', 'force_generic_plan', false),
    set_config('enable_seqscan', 'off', false),
    set_config('enable_bitmapscan', 'off', false),
    set_config('enable_mergejoin', 'off', false),
    set_config('enable_material', 'off', false),
    set_config('jit', 'off', false);

-- name: durable
-- A commit is on the disk when it returns. What an operator made stronger stays as it is.
SELECT set_config(
    'synchronous_commit',
    CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END,
    false
);

-- name: ordered
-- A commit may be lost in a crash of the server, but only together with all that came after it: the next durable commit
-- writes the same log, so it takes every earlier one with it.
SELECT set_config('synchronous_commit', 'off', false);

-- name: server
SELECT current_setting('server_version_num')::int, pg_is_in_recovery();

-- name: step_settings
-- A step's own statements are planned as the server likes, and end with its time.
SELECT
    set_config('application_name', 'squidmesh step', false),
    set_config('timezone', 'UTC', false),
    set_config('lock_timeout', %(lock_timeout)s, false),
    set_config('default_transaction_isolation', 'read committed', false),
    set_config('default_transaction_read_only', 'off', false);
