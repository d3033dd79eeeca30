-- name: due
SELECT timer, run_id, kind, due_at, subject, sender, detail
FROM squidmesh.timers
WHERE due_at <= %(until)s AND (due_at, timer) > (%(due_at)s, %(timer)s) AND due_at >= '-9223372036854775808'::bigint
ORDER BY due_at, timer LIMIT %(limit)s;

-- name: next
SELECT due_at FROM squidmesh.timers WHERE due_at >= '-9223372036854775808'::bigint ORDER BY due_at, timer LIMIT 1;

-- name: open
SELECT timer, run_id, kind, due_at, subject, sender, detail
FROM squidmesh.timers WHERE timer > %(after)s ORDER BY timer LIMIT %(limit)s;

-- name: drop_signals
DELETE FROM squidmesh.timers
WHERE sender IS NOT NULL AND timer = ANY (ARRAY(SELECT json_array_elements_text(%(signals)s::json)));
