-- Once, as a superuser: the database and whoever logs in to it.
--
--     SECRETS=/run/secrets psql -v ON_ERROR_STOP=1 -f setup.sql "postgresql://postgres@host/postgres"
--
-- Passwords come from the files owner-password and worker-password in the folder SECRETS, and stand in no command line.
-- What the roles may do is said by roles.sql of the package, after each migration: this gives them names only.

\set ON_ERROR_STOP on
\set owner_password `cat "${SECRETS:-/run/secrets}/owner-password"`
\set worker_password `cat "${SECRETS:-/run/secrets}/worker-password"`
SELECT :'owner_password' = '' OR :'worker_password' = '' AS missing \gset
\if :missing
    \echo 'setup.sql: owner-password and worker-password must be there, and not be empty'
    SELECT 1 / 0 AS "stops here";
\endif

CREATE ROLE squidmesh_reader NOLOGIN;
CREATE ROLE squidmesh_worker NOLOGIN;
CREATE ROLE squidmesh_operator NOLOGIN;

-- The owner migrates, and is nobody else: neither workers nor people work as this role.
CREATE ROLE squidmesh_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE orders_worker LOGIN PASSWORD :'worker_password' IN ROLE squidmesh_worker;

CREATE DATABASE orders OWNER squidmesh_owner TEMPLATE template0 ENCODING 'UTF8';
REVOKE CONNECT, TEMPORARY ON DATABASE orders FROM PUBLIC;
GRANT CONNECT ON DATABASE orders TO squidmesh_reader, squidmesh_worker, squidmesh_operator;
