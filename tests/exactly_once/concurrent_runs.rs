//! Many runs at the same time, and the same run again and again.

use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Barrier};

use object_store::memory::InMemory;
use tidemark_flow::Status;
use tidemark_lake::{Lake, Store};

use super::killed_command::binary;
use crate::support::daily_sales::sales::{MORNINGS, Sales};
use crate::support::daily_sales::{Backend, House, failures, has_status, runtime, s3};
use crate::support::faulty_store::{Aim, Fault, Faulty, Plan};

const CROWD: usize = 8;

#[test]
fn eight_runs_at_once_end_as_one() {
    let sales = Sales::new(40);
    for backend in Backend::ALL {
        let (clean, crowded) = (House::new(backend), House::new(backend));
        for morning in [0, 1] {
            clean.run(&sales, morning, &Plan::clean()).unwrap();
            let start = Barrier::new(CROWD);
            std::thread::scope(|scope| {
                for _ in 0..CROWD {
                    scope.spawn(|| {
                        start.wait();
                        let records = crowded.run(&sales, morning, &Plan::clean()).unwrap();
                        assert!(failures(&records).is_empty(), "{:?}", failures(&records));
                    });
                }
            });
            crowded.standing().assert_equal(&clean.standing());
        }
    }
}

#[test]
fn eight_processes_at_once_end_as_one() {
    let sales = Sales::new(40);
    for backend in [Backend::Folder, Backend::S3] {
        let (clean, crowded) = (House::new(backend), House::new(backend));
        for morning in [0, 1] {
            assert_success(command(&clean, &sales, morning).output().unwrap());
            let run =
                |_| command(&crowded, &sales, morning).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let crowd: Vec<_> = (0..CROWD).map(run).collect();
            for process in crowd {
                assert_success(process.wait_with_output().unwrap());
            }
            crowded.standing().assert_equal(&clean.standing());
        }
    }
}

#[track_caller]
fn assert_success(output: Output) {
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{:?} {}", output.status, said.join("\n"));
}

/// The command `tidemark run` for a house. The reports go to a folder, where the database has to be in any case.
pub fn command(house: &House, sales: &Sales, morning: usize) -> Command {
    let mut command = Command::new(binary());
    let (lake, reports) = (house.lake(), house.path("reports").display().to_string());
    let source = match house.is_remote() {
        true => format!("s3://{}", sales.bucket(morning)),
        false => sales.folder(morning).display().to_string(),
    };
    command.args(["run", "daily-sales", "--json", "--at", MORNINGS[morning], "--lake", &lake]);
    command.args(["--set", &format!("SALES={source}"), "--set", &format!("REPORTS={reports}")]);
    command.arg("--pipelines").arg(crate::support::daily_sales::pipelines());
    if house.is_remote() {
        command.envs(s3().0.variables());
    }
    command
}

#[test]
fn the_same_run_again_writes_nothing() {
    let sales = Sales::new(40);
    for backend in Backend::ALL {
        let house = House::new(backend);
        for morning in [0, 1] {
            house.run(&sales, morning, &Plan::clean()).unwrap();
            let before = house.objects();
            let again = house.run(&sales, morning, &Plan::clean()).unwrap();
            assert!(has_status(&again, Status::NothingToDo), "{again:#?}");
            assert_eq!(house.objects(), before);
        }
    }
}

/// Whoever opens an empty place first makes it a lake, and everybody else finds one: at whichever call the second comes.
#[test]
fn a_lake_that_another_makes_meanwhile_is_a_lake() {
    for filled in [false, true] {
        for nth in 0.. {
            let store = Arc::new(InMemory::new());
            let plan = Plan::new(Aim::Nth(nth), Fault::Overtaken);
            let open =
                |plan| Lake::open(Store::new(Faulty::new(store.clone(), plan), "memory", runtime()), true).map(drop);
            let other = store.clone();
            plan.meanwhile(move || {
                let lake = Lake::open(Store::new(other, "memory", runtime()), true).unwrap();
                if filled {
                    lake.store().put(&"datasets/sales/_delta_log/0.json".into(), "{}").unwrap();
                }
            });
            let opened = open(&plan);
            plan.join();
            assert!(opened.is_ok(), "overtaken at call {nth}: {opened:?}");
            if !plan.has_hit() {
                assert!(nth > 4, "{nth}");
                break;
            }
        }
    }
}
