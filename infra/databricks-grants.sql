-- The rights of notion-sync in Databricks, least first. It runs from top to bottom, on a new schema and on an existing one.
-- Run it as an owner of the catalog (or a metastore admin) in the SQL editor, twice: up to the line "Now run init-tables", and from there on.
-- Replace four names throughout:
--   `main`                                     the catalog      (DATABRICKS_CATALOG)
--   `bronze`                                   the schema       (BRONZE_SCHEMA)
--   `data-engineers`                           the group that owns schema and tables, and runs `notion-sync init-tables`
--   `00000000-0000-0000-0000-000000000000`     the application id of the service principal, in back quotes

-- A. The schema and who owns it ------------------------------------------------------------------------------------------------
-- An owner that is a group outlives the people in it. Leave the second line out when the schema has an owner already: then its owner
-- must give USE SCHEMA and CREATE TABLE to the group instead. CREATE SCHEMA on the catalog is needed by nobody after this.
CREATE SCHEMA IF NOT EXISTS `main`.`bronze`;
ALTER SCHEMA `main`.`bronze` OWNER TO `data-engineers`;

-- B. To make the tables, and to upgrade them after an update -----------------------------------------------------------------
GRANT USE CATALOG  ON CATALOG `main`          TO `data-engineers`;
GRANT USE SCHEMA   ON SCHEMA  `main`.`bronze` TO `data-engineers`;
GRANT CREATE TABLE ON SCHEMA  `main`.`bronze` TO `data-engineers`;

-- Now run init-tables, as a member of the group. -------------------------------------------------------------------------------

-- C. The tables and who owns them ----------------------------------------------------------------------------------------------
-- Whoever made a table owns it; as the group's, any member can upgrade it (SELECT, MODIFY, CLUSTER BY).
ALTER TABLE `main`.`bronze`.`notion_raw_pages`       OWNER TO `data-engineers`;
ALTER TABLE `main`.`bronze`.`notion_sync_watermarks` OWNER TO `data-engineers`;

-- D. Always: what a run needs, and all that the deployed function needs -----------------------------------------------------
GRANT USE CATALOG ON CATALOG `main`                                   TO `00000000-0000-0000-0000-000000000000`;
GRANT USE SCHEMA  ON SCHEMA  `main`.`bronze`                          TO `00000000-0000-0000-0000-000000000000`;
GRANT SELECT      ON TABLE   `main`.`bronze`.`notion_raw_pages`       TO `00000000-0000-0000-0000-000000000000`;
GRANT MODIFY      ON TABLE   `main`.`bronze`.`notion_raw_pages`       TO `00000000-0000-0000-0000-000000000000`;
GRANT SELECT      ON TABLE   `main`.`bronze`.`notion_sync_watermarks` TO `00000000-0000-0000-0000-000000000000`;
GRANT MODIFY      ON TABLE   `main`.`bronze`.`notion_sync_watermarks` TO `00000000-0000-0000-0000-000000000000`;
-- On the warehouse itself (no SQL for that), for the principal and for the group:
-- SQL Warehouses > the warehouse > Permissions > Can use. Or:
--   databricks permissions update warehouses WAREHOUSE_ID \
--     --json '{"access_control_list":[{"service_principal_name":"APPLICATION_ID","permission_level":"CAN_USE"}]}'
-- Then `notion-sync health` proves every right with statements that write nothing, and names the one that is missing.

-- E. For those who read -------------------------------------------------------------------------------------------------------
-- GRANT USE CATALOG ON CATALOG `main` TO `analysts`;
-- GRANT USE SCHEMA ON SCHEMA `main`.`bronze` TO `analysts`;
-- GRANT SELECT ON TABLE `main`.`bronze`.`notion_raw_pages` TO `analysts`;

-- F. To see and to take back ----------------------------------------------------------------------------------------------------
-- SHOW GRANTS ON TABLE `main`.`bronze`.`notion_raw_pages`;
-- REVOKE MODIFY ON TABLE `main`.`bronze`.`notion_raw_pages` FROM `00000000-0000-0000-0000-000000000000`;
