#!/usr/bin/env bash
# Runs the stories that an engine decides on Apache Spark with Delta Lake: `make test-spark`, with `quick` (default) or `whole`.
# The server is started here and ends with this script. Versions: requirements/spark.txt and requirements/spark-jars.sha256.
set -euo pipefail
cd "$(dirname "$0")/../.."

part=${1:-quick}
case $part in
  quick) stories=(schema_upgrade:: stale_cache:: sync::the_first_sync) ;;
  whole) stories=(proof:: schema_upgrade:: stale_cache:: sync:: sweep:: watermark:: rights::) ;;
  *) echo "$0: unknown part '$part'; use quick or whole" >&2; exit 2 ;;
esac

skip() { echo "test-spark is skipped: $1"; exit 0; }
command -v java >/dev/null || skip "Java is missing; install a JDK 17"
java_version=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -1)
[ "${java_version:-0}" -ge 17 ] || skip "Java ${java_version:-?} is too old; install a JDK 17"

delta_version=4.0.1
jars=target/spark/jars
if ! (cd "$jars" 2>/dev/null && sha256sum --check --quiet --status "$OLDPWD/requirements/spark-jars.sha256"); then
  command -v mvn >/dev/null || skip "Maven is missing, and Delta Lake's jars are not in $jars"
  mkdir -p "$jars"
  for artifact in "delta-spark_2.13:$delta_version" "delta-storage:$delta_version"; do
    mvn --quiet --batch-mode org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
      "-Dartifact=io.delta:$artifact" "-DoutputDirectory=$PWD/$jars"
  done
  (cd "$jars" && sha256sum --check --quiet "$OLDPWD/requirements/spark-jars.sha256")
fi
make --no-print-directory .venv-spark/.ready

SPARK_HOME=$(echo "$PWD"/.venv-spark/lib/python3*/site-packages/pyspark)
export SPARK_HOME SPARK_LOCAL_IP=127.0.0.1
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
warehouse=$(mktemp -d "$PWD/target/spark/warehouse-XXXXXX")
log=target/spark/server.log
PATH="$PWD/.venv-spark/bin:$PATH" "$SPARK_HOME/bin/spark-submit" \
  --class org.apache.spark.sql.connect.service.SparkConnectServer \
  --master 'local[2]' --driver-memory 2g \
  --jars "$(printf '%s,' "$PWD/$jars"/*.jar)" \
  --conf spark.connect.grpc.binding.address=127.0.0.1 --conf "spark.connect.grpc.binding.port=$port" \
  --conf spark.connect.grpc.maxInboundMessageSize=134217728 \
  --conf spark.driver.host=127.0.0.1 --conf spark.driver.bindAddress=127.0.0.1 --conf spark.ui.enabled=false \
  --conf spark.sql.extensions=io.delta.sql.DeltaSparkSessionExtension \
  --conf spark.sql.catalog.spark_catalog=org.apache.spark.sql.delta.catalog.DeltaCatalog \
  --conf "spark.sql.warehouse.dir=$warehouse" --conf spark.sql.shuffle.partitions=2 \
  --conf spark.databricks.delta.snapshotPartitions=2 \
  spark-internal >"$log" 2>&1 </dev/null &
server=$!
trap 'kill $server 2>/dev/null || true; wait $server 2>/dev/null || true; rm -rf "$warehouse"' EXIT

started=$SECONDS
until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
  kill -0 $server 2>/dev/null || { echo "the Spark server ended; its log is $log" >&2; exit 1; }
  [ $((SECONDS - started)) -lt 180 ] || { echo "the Spark server did not listen within 180 s; its log is $log" >&2; exit 1; }
  sleep 1
done
echo "Apache Spark $("$PWD/.venv-spark/bin/python" -c 'import pyspark; print(pyspark.__version__)') with Delta Lake $delta_version listens after $((SECONDS - started)) s"

NOTION_SYNC_TEST_ENGINE="sc://127.0.0.1:$port" NOTION_SYNC_TEST_CATALOG=spark_catalog RUST_TEST_THREADS=${SPARK_TEST_THREADS:-2} \
  cargo test --locked --test it -- "${stories[@]}"
