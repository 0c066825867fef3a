-- Indexes that make questions to the catalogue fast, for a Kinto that keeps its records in
-- PostgreSQL (14 or later). Without them every question reads every record.
--
--     psql --file indexes.sql postgresql://USER@HOST/DATABASE
--
-- For a million records this takes half a minute, and the indexes take 310 MB beside the 1.5 GB of
-- the table and of Kinto's own indexes. Reading and writing go on meanwhile (CONCURRENTLY). The
-- file can be run again at any time: what exists stays. Sizes and times below are for a million
-- records. A Kinto that keeps its records in memory needs none of this.
--
-- The expressions are those that Kinto writes: a.b=x is data @> '{"a": {"b": "x"}}'; in_a.b, lt_a.b
-- and max_a.b are data->'a'->'b' IN (...), < and <=; _sort=-a.b is ORDER BY data->'a'->'b' DESC.
-- like_a.b=2017-05* is data->'a'->>'b' ILIKE '2017-05%', which an index serves as far as the pattern
-- begins with what is no letter. min_ and gt_ also let pass what lacks the field, so that
-- PostgreSQL misjudges a range of the two sides: narrow it with like_. Nothing serves not_ and
-- exclude_.

\set ON_ERROR_STOP on
SET client_min_messages = warning;

-- An interrupted CREATE INDEX CONCURRENTLY leaves an index that answers nothing, slows down each
-- write, and would be taken for done below. One that is being made at the moment is left alone.
SELECT format('DROP INDEX CONCURRENTLY IF EXISTS %s', indexrelid::regclass)
FROM pg_index
WHERE NOT indisvalid
    AND indrelid = 'objects'::regclass
    AND indexrelid::regclass::text LIKE '%buildhub\_%'
    AND indexrelid NOT IN (SELECT index_relid FROM pg_stat_progress_create_index)
\gexec

-- Every equality: build.id="20170509094500", target.version="55.0". 72 MB, 11 s.
CREATE INDEX CONCURRENTLY IF NOT EXISTS buildhub_data
    ON objects USING gin (data jsonb_path_ops)
    WHERE resource_name = 'record' AND NOT deleted;

-- The newest of a product and channel, and which products and channels there are. 83 MB, 7 s.
CREATE INDEX CONCURRENTLY IF NOT EXISTS buildhub_product_channel_date
    ON objects (
        (data->'source'->'product'), (data->'target'->'channel'), (data->'build'->'date') DESC
    )
    WHERE resource_name = 'record' AND NOT deleted;

-- The newest of all; what was built between two dates. 48 MB, 4 s.
CREATE INDEX CONCURRENTLY IF NOT EXISTS buildhub_date
    ON objects ((data->'build'->'date') DESC)
    WHERE resource_name = 'record' AND NOT deleted;

-- A revision, or how it begins. 74 MB, 4 s.
CREATE INDEX CONCURRENTLY IF NOT EXISTS buildhub_revision
    ON objects ((data->'source'->'revision'))
    WHERE resource_name = 'record' AND NOT deleted;

-- Some versions at once, such as a release with its candidates. 34 MB, 4 s.
CREATE INDEX CONCURRENTLY IF NOT EXISTS buildhub_version
    ON objects ((data->'target'->'version'))
    WHERE resource_name = 'record' AND NOT deleted;

-- How a build date or a version begins: a day, a month, 55.*. 7 MB each, 4 s.
CREATE INDEX CONCURRENTLY IF NOT EXISTS buildhub_date_text
    ON objects ((data->'build'->>'date') text_pattern_ops)
    WHERE resource_name = 'record' AND NOT deleted;
CREATE INDEX CONCURRENTLY IF NOT EXISTS buildhub_version_text
    ON objects ((data->'target'->>'version') text_pattern_ops)
    WHERE resource_name = 'record' AND NOT deleted;

-- The newest in a locale. 80 MB, 5 s.
CREATE INDEX CONCURRENTLY IF NOT EXISTS buildhub_locale_date
    ON objects ((data->'target'->'locale'), (data->'build'->'date') DESC)
    WHERE resource_name = 'record' AND NOT deleted;

-- Lists of builds instead of files: those in en-US, or in several languages, one for each platform.
-- The condition is what Kinto writes for in_target.locale=en-US,multi in this order. 0.6 MB, 3 s.
CREATE INDEX CONCURRENTLY IF NOT EXISTS buildhub_english_date
    ON objects (
        (data->'source'->'product'), (data->'target'->'channel'), (data->'build'->'date') DESC
    )
    WHERE resource_name = 'record' AND NOT deleted
        AND data->'target'->'locale' IN ('"en-US"'::jsonb, '"multi"'::jsonb);
CREATE INDEX CONCURRENTLY IF NOT EXISTS buildhub_english
    ON objects ((data->'build'->'date') DESC)
    WHERE resource_name = 'record' AND NOT deleted
        AND data->'target'->'locale' IN ('"en-US"'::jsonb, '"multi"'::jsonb);

-- How often each value occurs: without that PostgreSQL takes a range for a ninth of all records,
-- and reads them all in the order of their ids. They cost a write nothing; ANALYZE renews them.
CREATE STATISTICS IF NOT EXISTS buildhub_product_channel (mcv)
    ON (data->'source'->'product'), (data->'target'->'channel') FROM objects;
CREATE STATISTICS IF NOT EXISTS buildhub_date_values ON (data->'build'->'date') FROM objects;
CREATE STATISTICS IF NOT EXISTS buildhub_revision_values
    ON (data->'source'->'revision') FROM objects;
CREATE STATISTICS IF NOT EXISTS buildhub_version_values ON (data->'target'->'version') FROM objects;
CREATE STATISTICS IF NOT EXISTS buildhub_date_texts ON (data->'build'->>'date') FROM objects;
CREATE STATISTICS IF NOT EXISTS buildhub_version_texts ON (data->'target'->>'version') FROM objects;
CREATE STATISTICS IF NOT EXISTS buildhub_platform_values
    ON (data->'target'->'platform') FROM objects;
CREATE STATISTICS IF NOT EXISTS buildhub_locale_values ON (data->'target'->'locale') FROM objects;
ANALYZE objects;
