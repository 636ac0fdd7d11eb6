"""Where the coordinator's state lives: relational rows (asyncpg) and time-series (psycopg)."""
