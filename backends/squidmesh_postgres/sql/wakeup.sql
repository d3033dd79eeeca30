-- name: session
SELECT set_config('application_name', 'squidmesh wakeup', false);

-- name: listen
LISTEN {channel};
