//! What the desk keeps: contacts and appointments, in SQLite.

use std::path::Path;

use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteRow};

/// The hours at which appointments begin, on every day.
const HOURS: std::ops::Range<u32> = 9..17;
/// Longest text that is kept, characters.
const MAX_TEXT: usize = 500;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS contacts (
        phone TEXT PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL DEFAULT '', note TEXT NOT NULL DEFAULT '');
    CREATE TABLE IF NOT EXISTS appointments (
        id INTEGER PRIMARY KEY AUTOINCREMENT, phone TEXT NOT NULL, day TEXT NOT NULL, time TEXT NOT NULL, what TEXT NOT NULL,
        UNIQUE (day, time));
    INSERT OR IGNORE INTO contacts (phone, name, email) VALUES
        ('+15551239999', 'Allison Smith', 'allison@example.com'),
        ('+15551230001', 'Waldo Perez', 'waldo@example.com'),
        ('+51555123000', 'Rosa Quispe', 'rosa@example.com');
";

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub(super) enum DeskError {
    /// What is wrong with the question.
    #[error("{0}")]
    Refused(&'static str),
    /// Nothing of that kind is known.
    #[error("{0}")]
    Unknown(&'static str),
    /// The database.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
}

/// An appointment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appointment {
    /// Its number.
    pub id: i64,
    /// Whose, E.164.
    pub phone: String,
    /// `2026-12-01`.
    pub day: String,
    /// `09:00`.
    pub time: String,
    /// What for.
    pub what: String,
}

#[derive(Debug, Clone)]
pub(super) struct Store {
    pool: SqlitePool,
}

impl Store {
    /// A database in a file, or in memory.
    pub async fn open(path: Option<&Path>) -> Result<Self, sqlx::Error> {
        let options = match path {
            Some(path) => SqliteConnectOptions::new().filename(path).create_if_missing(true),
            None => SqliteConnectOptions::new().in_memory(true),
        };
        // A database in memory lives as long as its one connection.
        let pool = SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        let pool = pool.connect_with(options).await?;
        sqlx::raw_sql(TABLES).execute(&pool).await?;
        Ok(Self { pool })
    }

    pub async fn find_contact(&self, phone: &str) -> Result<Value, DeskError> {
        let found = sqlx::query("SELECT phone, name, email, note FROM contacts WHERE phone = ?")
            .bind(phone)
            .fetch_optional(&self.pool)
            .await?
            .ok_or(DeskError::Unknown("nobody has this number"))?;
        let text = |column: &str| found.try_get::<String, _>(column);
        Ok(
            json!({ "phone": text("phone")?, "name": text("name")?, "email": text("email")?, "note": text("note")? }),
        )
    }

    /// Changes what is given: `name`, `email`, `note`. A number that is not known becomes a contact if it has a name.
    pub async fn update_contact(&self, phone: &str, change: &Value) -> Result<Value, DeskError> {
        if !is_phone(phone) {
            return Err(DeskError::Refused("a telephone number begins with + and has digits only"));
        }
        let text =
            |field: &str| change[field].as_str().filter(|t| !t.is_empty() && t.chars().count() <= MAX_TEXT);
        let updated = sqlx::query(
            "UPDATE contacts SET name = COALESCE(?, name), email = COALESCE(?, email), note = COALESCE(?, note) WHERE phone = ?",
        )
        .bind(text("name"))
        .bind(text("email"))
        .bind(text("note"))
        .bind(phone)
        .execute(&self.pool)
        .await?;
        if updated.rows_affected() == 0 {
            let name = text("name").ok_or(DeskError::Unknown("nobody has this number: give a name"))?;
            sqlx::query("INSERT INTO contacts (phone, name, email, note) VALUES (?, ?, ?, ?)")
                .bind(phone)
                .bind(name)
                .bind(text("email").unwrap_or(""))
                .bind(text("note").unwrap_or(""))
                .execute(&self.pool)
                .await?;
        }
        self.find_contact(phone).await
    }

    pub async fn free_slots(&self, day: &str) -> Result<Value, DeskError> {
        if !is_day(day) {
            return Err(DeskError::Refused("a day is written as 2026-12-01"));
        }
        let taken: Vec<String> = sqlx::query("SELECT time FROM appointments WHERE day = ?")
            .bind(day)
            .fetch_all(&self.pool)
            .await?
            .iter()
            .map(|row| row.try_get("time"))
            .collect::<Result<_, _>>()?;
        let free: Vec<String> = hours().filter(|time| !taken.contains(time)).collect();
        Ok(json!({ "day": day, "free": free }))
    }

    pub async fn book(&self, phone: &str, day: &str, time: &str, what: &str) -> Result<Value, DeskError> {
        if !is_phone(phone) || !is_day(day) || !hours().any(|hour| hour == time) {
            return Err(DeskError::Refused(
                "needs phone as +15551230000, day as 2026-12-01, time as a full hour from 09:00 to 16:00",
            ));
        }
        if what.trim().is_empty() || what.chars().count() > MAX_TEXT {
            return Err(DeskError::Refused("needs what it is for"));
        }
        let booked = sqlx::query(
            "INSERT INTO appointments (phone, day, time, what) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
        )
        .bind(phone)
        .bind(day)
        .bind(time)
        .bind(what)
        .fetch_optional(&self.pool)
        .await?
        .ok_or(DeskError::Refused("this time is taken"))?;
        Ok(json!({ "id": booked.try_get::<i64, _>("id")?, "day": day, "time": time }))
    }

    pub async fn cancel(&self, id: i64) -> Result<Value, DeskError> {
        let gone = sqlx::query("DELETE FROM appointments WHERE id = ?").bind(id).execute(&self.pool).await?;
        match gone.rows_affected() {
            0 => Err(DeskError::Unknown("there is no such appointment")),
            _ => Ok(json!({ "cancelled": id })),
        }
    }

    pub async fn appointments(&self) -> Result<Vec<Appointment>, sqlx::Error> {
        let read = |row: &SqliteRow| {
            Ok(Appointment {
                id: row.try_get("id")?,
                phone: row.try_get("phone")?,
                day: row.try_get("day")?,
                time: row.try_get("time")?,
                what: row.try_get("what")?,
            })
        };
        let rows = sqlx::query("SELECT * FROM appointments ORDER BY id").fetch_all(&self.pool).await?;
        rows.iter().map(read).collect()
    }
}

fn hours() -> impl Iterator<Item = String> {
    HOURS.map(|hour| format!("{hour:02}:00"))
}

fn is_phone(text: &str) -> bool {
    text.strip_prefix('+')
        .is_some_and(|d| (7..=15).contains(&d.len()) && d.bytes().all(|b| b.is_ascii_digit()))
}

fn is_day(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let number = |at: usize, length: usize| {
        parts.get(at).filter(|p| p.len() == length).and_then(|p| p.parse::<u32>().ok()).unwrap_or(0)
    };
    parts.len() == 3
        && number(0, 4) > 0
        && (1..=12).contains(&number(1, 2))
        && (1..=31).contains(&number(2, 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_time_is_given_once_and_again_after_it_was_cancelled() {
        let store = Store::open(None).await.expect("a database in memory");
        let book = || store.book("+15551239999", "2026-12-01", "10:00", "a repair");
        let id = book().await.expect("it is free")["id"].as_i64().expect("a number");
        assert!(matches!(book().await, Err(DeskError::Refused("this time is taken"))));
        let free = store.free_slots("2026-12-01").await.expect("a day");
        assert_eq!(free["free"].as_array().map(Vec::len), Some(7), "{free}");
        store.cancel(id).await.expect("it is there");
        assert!(matches!(store.cancel(id).await, Err(DeskError::Unknown(_))));
        assert!(book().await.is_ok());
        assert_eq!(store.appointments().await.expect("a table").len(), 1);
        for (phone, day, time) in [
            ("x", "2026-12-01", "11:00"),
            ("+15551239999", "1.12.", "11:00"),
            ("+15551239999", "2026-12-01", "11:30"),
        ] {
            assert!(store.book(phone, day, time, "a repair").await.is_err(), "{phone} {day} {time}");
        }
    }

    #[tokio::test]
    async fn contacts_are_found_and_changed() {
        let store = Store::open(None).await.expect("a database in memory");
        assert_eq!(store.find_contact("+15551239999").await.expect("a contact")["name"], "Allison Smith");
        assert!(matches!(store.find_contact("+1555").await, Err(DeskError::Unknown(_))));
        let changed =
            store.update_contact("+15551239999", &json!({ "note": "called" })).await.expect("a contact");
        assert_eq!((&changed["note"], &changed["name"]), (&json!("called"), &json!("Allison Smith")));
        assert!(
            store.update_contact("+15557770000", &json!({ "note": "x" })).await.is_err(),
            "nobody without a name"
        );
        assert!(store.update_contact("+15557770000", &json!({ "name": "New" })).await.is_ok());
    }
}
