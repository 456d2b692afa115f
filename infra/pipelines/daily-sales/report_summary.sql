-- The day beside the day before and the same weekday a week before; a day that is not there has no figure, and no change from it.
WITH figures AS (
    SELECT
        sold_on,
        ROUND(CAST(revenue AS DOUBLE), 2) AS revenue,
        CAST(orders AS DOUBLE) AS orders,
        CAST(units AS DOUBLE) AS units,
        ROUND(CAST(revenue AS DOUBLE) / NULLIF(CAST(orders AS DOUBLE), 0), 2) AS average_order,
        CAST(cancellations AS DOUBLE) AS cancellations
    FROM sales_by_day
    WHERE sold_on = :day OR sold_on = :day - INTERVAL '1 day' OR sold_on = :day - INTERVAL '7 days'
),
long AS (
    SELECT sold_on, 1 AS place, 'Revenue' AS figure, revenue AS value FROM figures
    UNION ALL
    SELECT sold_on, 2 AS place, 'Orders' AS figure, orders AS value FROM figures
    UNION ALL
    SELECT sold_on, 3 AS place, 'Units' AS figure, units AS value FROM figures
    UNION ALL
    SELECT sold_on, 4 AS place, 'Average order' AS figure, average_order AS value FROM figures
    UNION ALL
    SELECT sold_on, 5 AS place, 'Cancellations' AS figure, cancellations AS value FROM figures
),
beside AS (
    SELECT
        place,
        figure,
        MAX(CASE WHEN sold_on = :day THEN value END) AS value,
        MAX(CASE WHEN sold_on = :day - INTERVAL '1 day' THEN value END) AS day_before,
        MAX(CASE WHEN sold_on = :day - INTERVAL '7 days' THEN value END) AS week_before,
        MAX(CASE WHEN sold_on = :day THEN 1 ELSE 0 END) AS sold
    FROM long
    GROUP BY place, figure
)
SELECT
    figure,
    value,
    day_before,
    (value - day_before) / NULLIF(ABS(day_before), 0) AS change,
    week_before,
    (value - week_before) / NULLIF(ABS(week_before), 0) AS week_change
FROM beside
WHERE sold = 1
ORDER BY place
