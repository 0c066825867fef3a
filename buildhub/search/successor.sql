-- The catalogue as the successor of buildhub 1 had it, from a table `records` with a column for each
-- field, such as "target.version".
WITH published AS (
    SELECT *, contains("download.url", '/candidates/') AS is_candidate,
        -- A candidate's version ends in rc and its number: 55.0b1rc5, 49.0.1rc3-funnelcake90.
        regexp_replace("target.version", 'rc[0-9]+(-funnelcake[0-9]+)?$', '\1') AS without_rc
    FROM records
)
SELECT * EXCLUDE (is_candidate, without_rc) REPLACE (
    -- The files of DevEdition are Firefox's aurora builds.
    if("source.product" = 'devedition', 'firefox', "source.product") AS "source.product",
    if("source.product" = 'devedition', 'aurora', "target.channel") AS "target.channel",
    -- Platforms had the names that the build system uses.
    if("target.platform" = 'win64-aarch64', 'win64',
        regexp_replace("target.platform", '^macosx', 'mac')) AS "target.platform",
    -- Trees had their names without their folder: mozilla-beta.
    regexp_replace("source.tree", '^releases/', '') AS "source.tree",
    -- A candidate had the version that it is a candidate of.
    if(is_candidate, without_rc, "target.version") AS "target.version",
    -- All files were uploaded without a type.
    'application/octet-stream' AS "download.mimetype"
)
FROM published
-- Localised builds have no buildhub.json, of which its records were made.
WHERE "target.locale" IN ('en-US', 'multi')
    -- Nor have repacks of another build.
    AND NOT regexp_matches("target.platform", '-(eme-free|sha1)$', 'i')
    -- A release is a copy of its last candidate, which stood for both.
    AND (is_candidate OR NOT contains("download.url", '/releases/')
        OR ("source.product", "target.version", "target.platform") NOT IN (
            SELECT ("source.product", without_rc, "target.platform")
            FROM published WHERE is_candidate))
