//! What each database's watermark, lease and last run say.
