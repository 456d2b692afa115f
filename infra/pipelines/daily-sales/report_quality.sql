-- Records set aside: those of the day, and those whose day could not be told.
SELECT
    COALESCE("column", 'record') AS field,
    rule,
    COUNT(*) AS records,
    MIN(value) AS example,
    MIN(_object) AS first_file,
    MIN(_row) AS first_line
FROM sales.quarantine
WHERE partition = :day OR partition IS NULL
GROUP BY COALESCE("column", 'record'), rule
ORDER BY records DESC, field, rule
