-- One role and one schema for each service, so that no service can read another's tables. PostgreSQL runs this once, when its volume is empty;
-- the passwords come from files, so that they are in no argument list and in no log.
DO $$
DECLARE
  service text;
BEGIN
  FOREACH service IN ARRAY ARRAY['users_svc', 'vault_svc', 'activity_svc'] LOOP
    EXECUTE format('CREATE ROLE %I LOGIN PASSWORD %L', service, rtrim(pg_read_file('/secrets/' || service), E'\r\n'));
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), service);
    EXECUTE format('CREATE SCHEMA %I AUTHORIZATION %I', service, service);
  END LOOP;
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
END
$$;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
