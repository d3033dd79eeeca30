-- The shop's own tables, in the database of the journal: so both can be written in one transaction.
CREATE SCHEMA IF NOT EXISTS shop;

CREATE TABLE IF NOT EXISTS shop.stock (
    item text PRIMARY KEY,
    pieces integer NOT NULL CHECK (pieces >= 0)
);

CREATE TABLE IF NOT EXISTS shop.orders (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer text NOT NULL,
    item text NOT NULL REFERENCES shop.stock,
    quantity integer NOT NULL,
    cents integer NOT NULL,
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'shipped', 'cancelled')),
    run_id text
);

-- No key that would forgive a second one: the step that writes it is transactional.
CREATE TABLE IF NOT EXISTS shop.bookings (
    number bigint NOT NULL REFERENCES shop.orders,
    item text NOT NULL,
    pieces integer NOT NULL
);

-- Stands for the bank, which is another system: it knows each payment by the key that we give it.
CREATE TABLE IF NOT EXISTS shop.payments (
    key text PRIMARY KEY,
    number bigint NOT NULL,
    cents integer NOT NULL
);

INSERT INTO shop.stock VALUES ('lembas', 100), ('rope', 20) ON CONFLICT DO NOTHING;
