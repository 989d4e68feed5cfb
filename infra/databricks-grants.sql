-- The rights of notion-sync in Databricks, least first. Run as an owner of the catalog (or a metastore admin), in the SQL editor.
-- Replace three names throughout:
--   `main`                                     the catalog      (DATABRICKS_CATALOG)
--   `bronze`                                   the schema       (BRONZE_SCHEMA)
--   `00000000-0000-0000-0000-000000000000`     the application id of the service principal, in back quotes
--
-- Two steps, because the tables must be there before rights on them can be given:
--   1. a person with the rights of part A runs `notion-sync init-tables` (or the principal does, with part A given to it for that once);
--   2. part B is what the deployed function needs, and all it needs.

-- A. Once: to make the schema and the tables, and to add columns after an update ------------------------------------------
-- For a person (an email address instead of the application id works too). Leave CREATE SCHEMA out when the schema exists.
GRANT USE CATALOG   ON CATALOG `main`          TO `data-engineers`;
GRANT CREATE SCHEMA ON CATALOG `main`          TO `data-engineers`;
GRANT USE SCHEMA    ON SCHEMA  `main`.`bronze` TO `data-engineers`;
GRANT CREATE TABLE  ON SCHEMA  `main`.`bronze` TO `data-engineers`;

-- B. Always: what a run needs ------------------------------------------------------------------------------------------------
GRANT USE CATALOG ON CATALOG `main`                                  TO `00000000-0000-0000-0000-000000000000`;
GRANT USE SCHEMA  ON SCHEMA  `main`.`bronze`                         TO `00000000-0000-0000-0000-000000000000`;
GRANT SELECT      ON TABLE   `main`.`bronze`.`notion_raw_pages`      TO `00000000-0000-0000-0000-000000000000`;
GRANT MODIFY      ON TABLE   `main`.`bronze`.`notion_raw_pages`      TO `00000000-0000-0000-0000-000000000000`;
GRANT SELECT      ON TABLE   `main`.`bronze`.`notion_sync_watermarks` TO `00000000-0000-0000-0000-000000000000`;
GRANT MODIFY      ON TABLE   `main`.`bronze`.`notion_sync_watermarks` TO `00000000-0000-0000-0000-000000000000`;
-- On the warehouse itself (no SQL for that): SQL Warehouses > the warehouse > Permissions > the principal > Can use. Or:
--   databricks permissions update warehouses WAREHOUSE_ID \
--     --json '{"access_control_list":[{"service_principal_name":"APPLICATION_ID","permission_level":"CAN_USE"}]}'

-- C. For those who read -------------------------------------------------------------------------------------------------------
-- GRANT USE CATALOG ON CATALOG `main` TO `analysts`;
-- GRANT USE SCHEMA ON SCHEMA `main`.`bronze` TO `analysts`;
-- GRANT SELECT ON TABLE `main`.`bronze`.`notion_raw_pages` TO `analysts`;

-- D. To see and to take back ----------------------------------------------------------------------------------------------------
-- SHOW GRANTS ON TABLE `main`.`bronze`.`notion_raw_pages`;
-- REVOKE MODIFY ON TABLE `main`.`bronze`.`notion_raw_pages` FROM `00000000-0000-0000-0000-000000000000`;
