-- Runs once, when the volume is empty: one database per service, each for its service alone.
-- The tables are made by `migrator` (order migrate, inventory migrate); the services themselves run
-- as roles that can change rows and nothing else. Passwords come from the environment.
\getenv migrator_password MIGRATOR_PASSWORD
\getenv order_password ORDER_PASSWORD
\getenv inventory_password INVENTORY_PASSWORD

CREATE ROLE migrator LOGIN PASSWORD :'migrator_password';
CREATE ROLE "order" LOGIN PASSWORD :'order_password';
CREATE ROLE inventory LOGIN PASSWORD :'inventory_password';

CREATE DATABASE "order" OWNER migrator TEMPLATE template0 ENCODING 'UTF8';
CREATE DATABASE inventory OWNER migrator TEMPLATE template0 ENCODING 'UTF8';
REVOKE ALL ON DATABASE "order", inventory FROM PUBLIC;
GRANT CONNECT ON DATABASE "order" TO "order";
GRANT CONNECT ON DATABASE inventory TO inventory;

\connect "order"
ALTER DEFAULT PRIVILEGES FOR ROLE migrator
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO "order";

\connect inventory
ALTER DEFAULT PRIVILEGES FOR ROLE migrator
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO inventory;
