-- The reconciler's mark.
-- KEYS: the queue's. ARGV: none. Returns incarnation, token and position, with blanks between them; false if there is none.
complete()
return call('HGET', LIFE, 'cursor')
