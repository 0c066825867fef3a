-- Indexes that make questions to the catalogue fast, for a Kinto that keeps its records in
-- PostgreSQL (12 or later). Without them every question reads every record.
--
--     psql --file indexes.sql postgresql://USER@HOST/DATABASE
--
-- It can be run again at any time, while Kinto runs: reading and writing go on (CONCURRENTLY), and
-- what exists already stays. A Kinto that keeps its records in memory needs none of this.
--
-- Kinto asks for data @> '{"a": {"b": "x"}}' where a filter is an equality (a.b=x), and for
-- data->'a'->'b' IN (…), < and <= where it is in_, lt_ or max_; _sort=-a.b orders by data->'a'->'b'
-- DESC. No index serves min_, gt_, not_ and exclude_, which also let pass what lacks the field, nor
-- like_.

\set ON_ERROR_STOP on

-- What an interrupted CREATE INDEX CONCURRENTLY has left behind would never be used, but kept up to
-- date with each write, and IF NOT EXISTS would take it for done.
SELECT format('DROP INDEX CONCURRENTLY IF EXISTS %s', indexrelid::regclass)
FROM pg_index
WHERE NOT indisvalid
    AND indrelid = 'objects'::regclass
    AND indexrelid::regclass::text LIKE '%buildhub\_%'
    AND indexrelid NOT IN (SELECT index_relid FROM pg_stat_progress_create_index)
\gexec

CREATE INDEX CONCURRENTLY IF NOT EXISTS buildhub_data
    ON objects USING gin (data jsonb_path_ops)
    WHERE resource_name = 'record' AND NOT deleted;

CREATE INDEX CONCURRENTLY IF NOT EXISTS buildhub_product_channel_date
    ON objects (
        (data->'source'->'product'), (data->'target'->'channel'), (data->'build'->'date') DESC
    )
    WHERE resource_name = 'record' AND NOT deleted;

CREATE INDEX CONCURRENTLY IF NOT EXISTS buildhub_date
    ON objects ((data->'build'->'date') DESC)
    WHERE resource_name = 'record' AND NOT deleted;

CREATE INDEX CONCURRENTLY IF NOT EXISTS buildhub_revision
    ON objects ((data->'source'->'revision'))
    WHERE resource_name = 'record' AND NOT deleted;

ANALYZE objects;
