-- Records set aside: those of the day, and, since nobody can tell their day, all that have none.
SELECT
    CASE WHEN day IS NULL THEN 'undated, so far' ELSE 'this day' END AS period,
    COALESCE("column", 'record') AS field,
    rule,
    COUNT(*) AS records,
    MIN(value) AS example,
    MIN(_object) AS first_file,
    MIN(_row) AS first_line
FROM sales.quarantine
WHERE healed_by IS NULL AND (day = :day OR day IS NULL)
GROUP BY CASE WHEN day IS NULL THEN 'undated, so far' ELSE 'this day' END, COALESCE("column", 'record'), rule
ORDER BY period, records DESC, field, rule
